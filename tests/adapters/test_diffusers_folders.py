"""Folders of diffusers: the denoiser is the one that the same network is when it is wrapped by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import SHAPE, diffusers, dit, needs_diffusers, noisy, saved, unet

from diffnotes.__main__ import main
from diffnotes.adapters import adapt
from diffnotes.base.errors import UserError

pytestmark = needs_diffusers
STEPS = (3, 400, 900)  # of a thousand


def ratio(scheduler: Any, step: int) -> float:
    kept = scheduler.alphas_cumprod.double()[step]
    return float(((1 - kept) / kept).sqrt())


@torch.no_grad()
def by_hand(network: Any, scheduler: Any, x: torch.Tensor, step: int) -> torch.Tensor:
    """E[x0|x] as the scheduler itself has it."""
    kept = scheduler.alphas_cumprod[step].double()
    found = network(kept.sqrt().float() * x, torch.full((len(x),), step)).sample.double()
    kind, xt = scheduler.config.prediction_type, kept.sqrt() * x.double()
    if kind == "epsilon":
        return (xt - (1 - kept).sqrt() * found) / kept.sqrt()
    return found if kind == "sample" else kept.sqrt() * xt - (1 - kept).sqrt() * found


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("schedule", ["linear", "squaredcos_cap_v2", "scaled_linear"])
def test_every_prediction_is_that_by_hand(tmp_path: Path, kind: str, schedule: str) -> None:
    scheduler = diffusers().DDPMScheduler(prediction_type=kind, beta_schedule=schedule, clip_sample=False)
    network = unet()
    model = adapt(saved(tmp_path, network, scheduler))
    assert model.shape == SHAPE
    assert model.classes == 0
    for step in STEPS:
        sigma = ratio(scheduler, step)
        x = noisy(sigma)
        wanted = by_hand(network, scheduler, x, step)
        scale = float(wanted.abs().max())
        assert torch.allclose(model(x, sigma).double(), wanted, atol=1e-4 * scale), step


def test_the_names_of_samplers_change_nothing(tmp_path: Path) -> None:
    network, x = unet(), noisy(1.0)
    kinds = ("DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler")
    found = [
        adapt(saved(tmp_path / kind, network, getattr(diffusers(), kind)(num_train_timesteps=1000)))(x, 1.0)
        for kind in kinds
    ]
    for other in found[1:]:
        assert torch.allclose(found[0], other, atol=1e-5)


def test_between_two_steps_the_time_is_between(tmp_path: Path) -> None:
    scheduler = diffusers().DDPMScheduler()
    model = adapt(saved(tmp_path, unet(), scheduler))
    low, high = ratio(scheduler, 400), ratio(scheduler, 401)
    x = noisy(low)
    ends = [model(x, low), model(x, high)]
    middle = model(x, (low * high) ** 0.5)
    assert 0 < float((middle - ends[0]).abs().max()) < float((ends[1] - ends[0]).abs().max())
    assert "between theirs" in model.notes[0]


def test_noise_levels_that_it_never_saw_are_refused(tmp_path: Path) -> None:
    scheduler = diffusers().DDPMScheduler()
    model = adapt(saved(tmp_path, unet(), scheduler))
    assert model.low == pytest.approx(ratio(scheduler, 0))
    assert model.high == pytest.approx(ratio(scheduler, 999))
    for sigma in (0.5 * model.low, 2 * model.high):
        with pytest.raises(UserError, match="lies outside; choose levels within"):
            model(noisy(1.0), sigma)
    x = noisy(1.0)
    assert torch.equal(model(x, 0.0), x)


def test_a_grid_that_ends_without_data(tmp_path: Path) -> None:
    scheduler = diffusers().DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    model = adapt(saved(tmp_path, unet(), scheduler))
    assert torch.isfinite(model(noisy(model.high), model.high)).all()


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_samplers_that_replace_a_last_product_of_0(tmp_path: Path, kind: str) -> None:
    """They put 2^-24 there, which is above the one before."""
    scheduler = getattr(diffusers(), kind)(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    model = adapt(saved(tmp_path, unet(), scheduler))
    assert torch.isfinite(model(noisy(model.high), model.high)).all()


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("deviation", [0.5, 0.8])
def test_edm(tmp_path: Path, kind: str, deviation: float) -> None:
    scheduler = diffusers().EDMEulerScheduler(sigma_data=deviation, prediction_type=kind)
    network, sigma = unet(), 1.7
    model = adapt(saved(tmp_path, network, scheduler))
    x = noisy(sigma)
    with torch.no_grad():
        entered = scheduler.precondition_inputs(x, sigma)
        told = scheduler.precondition_noise(torch.tensor(sigma)).expand(len(x))
        wanted = scheduler.precondition_outputs(x, network(entered, told).sample, sigma)
    assert torch.allclose(model(x, sigma), wanted, atol=1e-5)
    assert (model.low, model.high) == (0.002, 80.0)


def test_flow_matching(tmp_path: Path) -> None:
    scheduler = diffusers().FlowMatchEulerDiscreteScheduler(shift=3.0)
    network, t = unet(), 0.4
    model = adapt(saved(tmp_path, network, scheduler))
    sigma = t / (1 - t)
    x = noisy(sigma)
    with torch.no_grad():
        xt = (1 - t) * x
        wanted = xt - t * network(xt, torch.full((len(x),), 1000 * t)).sample
    assert torch.allclose(model(x, sigma), wanted, atol=1e-5)


# --------------------------------------------------------------------------------------------- classes


def test_a_network_with_classes_needs_one(tmp_path: Path) -> None:
    network = unet(num_class_embeds=3)
    model = adapt(saved(tmp_path, network, diffusers().DDPMScheduler()))
    assert (model.classes, model.needs_label) == (3, True)
    x = noisy(1.0)
    found = [model(x, 1.0, torch.full((len(x),), label)) for label in (0, 1)]
    assert not torch.allclose(found[0], found[1])
    for labels in (None, torch.full((len(x),), 3), torch.full((len(x),), -1)):
        with pytest.raises(UserError, match="must be told a class|knows the classes 0 to 2"):
            model(x, 1.0, labels)


def test_a_transformer_has_a_class_for_none_and_a_variance(tmp_path: Path) -> None:
    network = dit()
    with torch.no_grad():  # its last layers start at zero
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    folder = tmp_path / "dit"
    network.save_pretrained(folder / "transformer")
    diffusers().DDPMScheduler().save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text('{"transformer": ["a", "b"], "scheduler": ["a", "b"]}')
    model, x = adapt(folder), noisy(1.0)
    none = model(x, 1.0)
    assert none.shape == x.shape
    assert torch.equal(none, model(x, 1.0, torch.full((len(x),), -1)))
    assert not torch.allclose(none, model(x, 1.0, torch.zeros(len(x), dtype=torch.int64)))


def test_what_cross_attention_is_told(tmp_path: Path) -> None:
    network = diffusers().UNet2DConditionModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), norm_num_groups=4, cross_attention_dim=6,
        attention_head_dim=4,
    ).eval()  # fmt: skip
    folder = saved(tmp_path, network, diffusers().DDPMScheduler())
    with pytest.raises(UserError, match="give what it is told"):
        adapt(folder)
    with pytest.raises(UserError, match=r"must be \[classes, tokens, 6\]"):
        adapt(folder, context=torch.zeros(1, 2, 5))
    told = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(2))
    model, x = adapt(folder, context=told), noisy(1.0)
    assert (model.classes, model.needs_label) == (2, True)
    one, two = (model(x, 1.0, torch.full((len(x),), label)) for label in (0, 1))
    assert not torch.allclose(one, two)
    alone = adapt(folder, context=told[:1])
    assert torch.allclose(alone(x, 1.0), one)


# --------------------------------------------------------------------------------- where weights come from


def rewritten(folder: Path, change: Any) -> None:
    """The weights of a folder, changed."""
    from safetensors.torch import load_file, save_file

    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(change(load_file(path)), path)


def test_prefixes_half_precision_and_averages(tmp_path: Path) -> None:
    folder = saved(tmp_path, unet(), diffusers().DDPMScheduler())
    before, x = adapt(folder), noisy(1.0)
    rewritten(folder, lambda w: {f"module._orig_mod.{k}": v.half() for k, v in w.items()})
    (folder / "unet_ema").mkdir()
    model = adapt(folder)
    assert torch.allclose(model(x, 1.0), before(x, 1.0), atol=1e-2)
    assert any("float16; it is run in float32" in note for note in model.notes)
    assert any("unet_ema beside it was not looked at" in note for note in model.notes)
    assert model.identity != before.identity


def test_a_network_beside_its_scheduler(tmp_path: Path) -> None:
    scheduler = diffusers().DDPMScheduler()
    folder = saved(tmp_path / "whole", unet(), scheduler)
    unet().save_pretrained(tmp_path / "lone")
    with pytest.raises(UserError, match=r"no scheduler_config\.json"):
        adapt(tmp_path / "lone")
    scheduler.save_pretrained(tmp_path / "lone")
    x = noisy(1.0)
    assert torch.equal(adapt(tmp_path / "lone")(x, 1.0), adapt(folder)(x, 1.0))
    assert torch.equal(adapt(folder / "unet")(x, 1.0), adapt(folder)(x, 1.0))


def test_weights_in_pieces(tmp_path: Path) -> None:
    scheduler, network = diffusers().DDPMScheduler(), unet()
    whole, pieces = saved(tmp_path / "whole", network, scheduler), saved(tmp_path / "p", network, scheduler)
    (pieces / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    network.save_pretrained(pieces / "unet", max_shard_size="10KB")
    assert not (pieces / "unet" / "diffusion_pytorch_model.safetensors").exists()
    x = noisy(1.0)
    assert torch.equal(adapt(pieces)(x, 1.0), adapt(whole)(x, 1.0))
    index = pieces / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {k: f"../{v}" for k, v in content["weight_map"].items()}
    index.write_text(json.dumps(content))
    with pytest.raises(UserError, match="no file of weights beside it"):
        adapt(pieces)


def test_latents_are_said(tmp_path: Path) -> None:
    folder = saved(tmp_path, unet(), diffusers().DDPMScheduler())
    index = json.loads((folder / "model_index.json").read_text()) | {"vae": ["diffusers", "AutoencoderKL"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "vae").mkdir()
    (folder / "vae" / "config.json").write_text('{"scaling_factor": 0.18215}')
    assert any("such latents, times its scaling_factor 0.18215" in note for note in adapt(folder).notes)


def test_a_live_pipeline_is_the_folder(tmp_path: Path) -> None:
    network, scheduler = unet(), diffusers().DDPMScheduler()
    folder, x = saved(tmp_path, network, scheduler), noisy(1.0)
    live = adapt(diffusers().DDPMPipeline(unet=network, scheduler=scheduler))
    assert torch.equal(live(x, 1.0), adapt(folder)(x, 1.0))
    assert live.name == "DDPMPipeline"


def test_a_table_of_times_is_told_the_nearest(tmp_path: Path) -> None:
    network = unet(time_embedding_type="learned", num_train_timesteps=1000)
    model = adapt(saved(tmp_path, network, diffusers().DDPMScheduler()))
    assert "table of times" in model.notes[0]
    assert torch.isfinite(model(noisy(1.0), 1.0)).all()


# ------------------------------------------------------------------------------------------- bad folders


def without_weights(folder: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def pickled(folder: Path) -> None:
    without_weights(folder)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n")


def variants(folder: Path) -> None:
    without_weights(folder)
    for kind in ("fp16", "ema"):
        (folder / "unet" / f"diffusion_pytorch_model.{kind}.safetensors").write_bytes(b"")


def said(part: str, **changed: Any) -> Any:
    """A change of what a JSON file says; None takes a name away."""

    def change(folder: Path) -> None:
        path = folder / part
        content = json.loads(path.read_text()) | changed
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def damaged(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_weights(change: Any) -> Any:
    return lambda folder: rewritten(folder, change)


def no_numbers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return weights | {"conv_in.bias": weights["conv_in.bias"] * torch.nan}


CONFIG, SCHEDULER = "unet/config.json", "scheduler/scheduler_config.json"
BAD = {
    "nothing": (lambda folder: (folder / "model_index.json").unlink(), "holds no model"),
    "no weights": (without_weights, "settings and no weights"),
    "a pickle": (pickled, "is a pickle, which may run code when it is loaded, so it was not"),
    "several weights": (variants, "has several sets of weights"),
    "damaged weights": (damaged, "is damaged"),
    "weights without numbers": (other_weights(no_numbers), "conv_in.bias has NaN"),
    "a weight missing": (other_weights(lambda w: {k: v for k, v in w.items() if k != "conv_in.bias"}),
                         "1 are missing, 0 unknown, 0 of another shape"),
    "a weight too many": (other_weights(lambda w: w | {"more": torch.zeros(1)}), "0 are missing, 1 unknown"),
    "weights of another width": (other_weights(lambda w: w | {"conv_in.bias": torch.zeros(3)}),
                                 "1 of another shape"),
    "an unknown network": (said(CONFIG, _class_name="FluxTransformer2DModel"), "is not known here"),
    "code of its own": (said(CONFIG, _class_name="my_file.MyNet"), "is not known here"),
    "settings of no network": (said(CONFIG, norm_num_groups=7), "describes no UNet2DModel"),
    "no channels": (said(CONFIG, in_channels=0), "1 of another shape .conv_in.weight."),
    "strange classes": (said(CONFIG, class_embed_type="identity"), "Classes as 'identity' are not known"),
    "an unknown scheduler": (said(SCHEDULER, _class_name="RePaintScheduler"), "scheduler 'RePaintScheduler'"),
    "an unknown prediction": (said(SCHEDULER, prediction_type="flow"), "'flow' is predicted"),
    "betas that rise to nothing": (said(SCHEDULER, beta_start=-1.0, beta_end=-0.5), "none of a diffusion"),
    "an unknown schedule": (said(SCHEDULER, beta_schedule="cubic"), "describe no DDPMScheduler"),
    "continuous times": (said(SCHEDULER, timestep_type="continuous"), "timestep_type = 'continuous' is not"),
    "flow sigmas": (said(SCHEDULER, use_flow_sigmas=True), "use_flow_sigmas = True is not known"),
    "no scheduler": (said("model_index.json", scheduler=None), "names no scheduler"),
    "no network": (said("model_index.json", unet=None), "no network to look at"),
    "no JSON": (lambda folder: (folder / CONFIG).write_text("{"), "cannot be read"),
    "a list": (lambda folder: (folder / CONFIG).write_text("[]"), "holds no settings"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_one_sentence(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = BAD[name]
    folder = saved(tmp_path, unet(), diffusers().DDPMScheduler())
    change(folder)
    with pytest.raises(UserError, match=words) as told:
        adapt(folder)
    out = tmp_path / "out"
    assert main(["diagnose", "--model", str(folder), "--train", "digits", "--out", str(out)]) == 2
    assert capsys.readouterr().err.splitlines() == [f"diffnotes: {told.value}"]
    assert not out.exists()


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    model = adapt(saved(tmp_path, unet(), diffusers().DDPMScheduler()))
    with pytest.raises(UserError, match="denoises images of shape 1 × 8 × 8, and these have 3 × 8 × 8"):
        model(noisy(1.0, shape=(3, 8, 8)), 1.0)
