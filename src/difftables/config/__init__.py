"""What a user can ask for: models of params.yaml and of job specs; imports no torch."""
