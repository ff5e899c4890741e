"""Commands about this machine: apply, status, explain, generations, doctor, boot chart, init."""
