"""Endpoints other than the transport: simple corrections of transported fields, and networks.

``directions`` fits the transports, ``corrections`` needs no network, ``translator`` and ``denoiser`` train those of
``networks`` by the steps of ``training``.
"""
