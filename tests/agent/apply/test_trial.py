"""A trial ends once: it is confirmed, or it is rolled back by an administrator or by the dead-man."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.apply.network.reachability import NetworkPeer, PeerKind
from ordain.agent.apply.trial import PATH, Trial, Trials, now_sec
from ordain.agent.errors import Failure
from ordain.agent.state.decisions import DecisionState, Pin


def on_trial(root: Path, seconds: float = 60.0) -> tuple[Trials, Trial]:
    trials = Trials(root)
    trial = Trial(token="t", number=2, hash="b", rollback_to="a", seconds=60).ending_in(seconds)
    trials.write(trial)
    return trials, trial


def test_a_trial_is_confirmed_once(tmp_path: Path) -> None:
    trials, trial = on_trial(tmp_path)

    with pytest.raises(Failure, match="generation 2 is on trial"):
        trials.require_none()
    assert trials.confirm() == trial
    assert trials.confirmed() == trial
    with pytest.raises(Failure, match="there is no trial to confirm"):
        trials.confirm()
    with pytest.raises(Failure, match="has ended"):
        trials.expire(trial)
    trials.clear()
    trials.require_none()
    assert trials.confirmed() is None


def test_a_late_confirm_is_refused(tmp_path: Path) -> None:
    trials, trial = on_trial(tmp_path, -1.0)

    with pytest.raises(Failure, match="too late"):
        trials.confirm()
    trials.expire(trial)
    with pytest.raises(Failure, match="too late"):
        trials.confirm()


def test_the_dead_man_of_an_earlier_trial_cannot_end_this_one(tmp_path: Path) -> None:
    trials, trial = on_trial(tmp_path)

    with pytest.raises(Failure, match="has ended"):
        trials.expire(replace(trial, token="earlier"))
    assert trials.pending() == trial


def test_the_dead_man_does_not_roll_back_what_an_administrator_rolls_back(tmp_path: Path) -> None:
    trials, trial = on_trial(tmp_path)

    trials.take_from_deadman(trial)
    expired = trials.expired()
    assert expired is not None
    assert expired.token != trial.token
    assert trials.pending() is None
    late, trial = on_trial(tmp_path / "late", 0.5)
    with pytest.raises(Failure, match="is being rolled back"):
        late.take_from_deadman(trial)


def test_either_the_administrator_or_the_dead_man_ends_a_trial(tmp_path: Path) -> None:
    for attempt in range(50):
        trials, trial = on_trial(tmp_path / str(attempt))
        won: list[str] = []
        start = threading.Barrier(2)

        def end(way: str, trials: Trials, trial: Trial, won: list[str], start: threading.Barrier) -> None:
            start.wait()
            try:
                trials.confirm() if way == "confirm" else trials.expire(trial)
                won.append(way)
            except Failure:
                pass

        threads = [threading.Thread(target=end, args=(way, trials, trial, won, start)) for way in ("confirm", "expire")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1


def test_a_trial_counts_down(tmp_path: Path) -> None:
    _, trial = on_trial(tmp_path, 5.0)

    assert 4.0 < trial.left_sec <= 5.0
    assert trial.until <= now_sec() + 5.0


def test_the_file_of_a_trial_keeps_its_keys_over_an_upgrade(tmp_path: Path) -> None:
    pin = Pin(number=2, hash="b", revision="r")
    peers = (
        NetworkPeer(kind=PeerKind.SOURCE, hosts=("a:1", "[::1]:2")),
        NetworkPeer(kind=PeerKind.GATEWAY, answers=False),
        NetworkPeer(kind=PeerKind.CALLER, hosts=("192.0.2.7",)),
    )
    trials, trial = on_trial(tmp_path)
    trial = replace(trial, automatic=True, agent_ran=True, decided=DecisionState(pin=pin), peers=peers)
    trials.write(trial)

    assert trials.pending() == trial
    written = json.loads((tmp_path / PATH).read_bytes())
    assert (written["back"], written["by"], written["by_itself"], written["agent"]) == (
        "a",
        trial.until_text,
        True,
        True,
    )
    assert written["stand"]["pin"]["revision"] == "r"
    assert written["reach"] == ["source a:1,[::1]:2 answers", "gateway silent", "caller 192.0.2.7 answers"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", '{"reach": ["nobody answers"]}', '{"reach": [5]}', '"back"'])
def test_a_file_that_does_not_hold_a_trial_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text(text)

    assert Trials(tmp_path).pending() is None
