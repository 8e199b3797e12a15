"""Maps by gradients, relevance and prediction difference."""
