"""Released weights: tensors under the names of other code, to tensors of our nets."""
