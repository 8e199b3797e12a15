import torch

from leigh_mlops.explanations.counterfactuals.decoding import LATENTS_PER_PASS, decode_all


def test_no_more_latents_are_decoded_at_once_than_memory_is_meant_for(flow, images, monkeypatch):
    latents, decode, counts = flow.encode(images), flow.decode, []
    assert len(latents) > LATENTS_PER_PASS
    whole = decode(latents)
    monkeypatch.setattr(flow, "decode", lambda some: counts.append(len(some)) or decode(some))
    torch.testing.assert_close(decode_all(flow, latents).images, whole)
    assert counts == [LATENTS_PER_PASS, len(latents) - LATENTS_PER_PASS]
