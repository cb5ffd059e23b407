"""Fleet gateways over SSH: looked at, run on, opened with a grant, recorded."""
