"""What people type: check, costs, explain, multiply_adds, schema, show, verify, where."""
