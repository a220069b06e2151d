"""gotoai: the control plane for model access."""
