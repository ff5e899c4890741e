"""Commands about all machines: status, holds, enrollment, rollouts, queries."""
