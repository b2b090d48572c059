"""What people type: check, costs, explain, import, show, verify, where."""
