"""Counterfactuals and interpolations through latent space."""
