import torch

from leigh_mlops.explanations.decoding import AT_ONCE, decode_all


def test_no_more_latents_are_decoded_at_once_than_memory_is_meant_for(flow, images, monkeypatch):
    latents, decode, counts = flow.encode(images), flow.decode, []
    assert len(latents) > AT_ONCE
    whole = decode(latents)
    monkeypatch.setattr(flow, "decode", lambda some: counts.append(len(some)) or decode(some))
    torch.testing.assert_close(decode_all(flow, latents).images, whole)
    assert counts == [AT_ONCE, len(latents) - AT_ONCE]
