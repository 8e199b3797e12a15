"""Python API for notebooks; `leigh_mlops` itself exposes what is used."""
