"""RECCE against the authors' public code (VISION-SJTU/RECCE).

    python tests/parity/recce.py PATH_OF_THE_OTHER_REPO

Needs timm and torchvision (any wheel) on the path, best in a folder of their
own that PYTHONPATH names. Prints the relative error of every quantity and how
far one changed row of weights moves it; the exit code is 1 if a limit is
broken.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from mmaction.structures import ActionDataSample
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import randomise, relative_error

from gml_mmaction.models import RECCE, RECCEHead
from gml_mmaction.models.recce import metric_loss

SIZES = (64, 100, 224, 299)
# Beginnings of names there and here; the encoder's modules have no prefix.
NAMES = {
    'encoder.': '',
    'decoder1.': 'decoder.double1.',
    'decoder2.': 'decoder.block1.',
    'decoder3.': 'decoder.double2.',
    'decoder4.': 'decoder.block2.',
    'decoder5.': 'decoder.double3.',
    'decoder6.0.': 'decoder.to_image.',
    'reasoning.va_embedding.': 'reasoning.embed.',
    'reasoning.va_gated_b.0.': 'reasoning.gather.0.gate.',
    'reasoning.va_gated_c.0.': 'reasoning.gather.1.gate.',
    'reasoning.vb_embedding.': 'reasoning.gather.0.embed.',
    'reasoning.vc_embedding.': 'reasoning.gather.1.embed.',
    'reasoning.reweight_ab.0.': 'reasoning.gather.0.score.',
    'reasoning.reweight_ac.0.': 'reasoning.gather.1.score.',
    'reasoning.reproject.': 'reasoning.project.',
    'attention.gated.': 'attention.attend.',
    'attention.h.': 'attention.transform.',
}
# Weights of every part, each of which must reach the features.
PERTURBED = (
    'block2.rep.1.pointwise.weight',
    'decoder.double3.1.pointwise.weight',
    'decoder.block2.rep.4.conv1.weight',
    'reasoning.gather.0.score.weight',
    'reasoning.gather.1.score.weight',
    'reasoning.gather.1.gate.weight',
    'attention.attend.0.weight',
    'attention.transform.0.weight',
    'block10.rep.4.conv1.weight',
)
BROKEN = []


def import_theirs(repo: Path):
    """Their network class and their module of losses."""
    # torchvision's wheel looks these up, though its own operators may be
    # missing; the network needs none of them.
    library = torch.library.Library('torchvision', 'DEF')
    for op in ('nms', 'qnms'):
        library.define(
            f'{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
        )
    import timm.models
    from timm.models.xception import legacy_xception

    timm.models.xception = lambda pretrained: legacy_xception()
    sys.path.insert(0, str(repo))
    from model.network import Recce

    spec = importlib.util.spec_from_file_location(
        'their_losses', repo / 'trainer' / 'utils.py'
    )
    losses = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(losses)
    return Recce, losses, library


def translate(state: dict) -> dict:
    """Their weights under our names, without both classifiers."""
    ours = {}
    for key, value in state.items():
        if key.startswith(('encoder.fc.', 'fc.')):
            continue
        before = next(b for b in NAMES if key.startswith(b))
        if key.startswith('reasoning.') and value.dim() == 2:
            value = value[:, :, None, None]  # linear layers there
        ours[NAMES[before] + key[len(before) :]] = value
    return ours


def settle(network, size: int = 96) -> None:
    """Give batch norms the statistics of a batch, or sigmoids saturate."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()(torch.rand(4, 3, size, size).double() * 2 - 1)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()


def build(recce):
    """Their network and ours with the same random weights, float64."""
    theirs = randomise(recce(num_classes=1)).double()
    settle(theirs)
    backbone, head = RECCE().double().eval(), RECCEHead().double().eval()
    backbone.load_state_dict(translate(theirs.state_dict()), strict=True)
    with torch.no_grad():
        # Their logit is the difference of ours.
        for name in ('weight', 'bias'):
            parameter = getattr(head.fc_cls, name)
            parameter[1] = parameter[0] + getattr(theirs.fc, name)[0]
    return theirs, backbone, head


def outputs_of(network, inputs, hooked: dict) -> tuple[object, dict]:
    """The network's output and the outputs of its modules."""
    seen = {}
    handles = [
        network.get_submodule(module).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out})
        )
        for name, module in hooked.items()
    ]
    result = network(inputs)
    for handle in handles:
        handle.remove()
    return result, seen


def quantities_of_theirs(theirs, images) -> dict:
    hooked = dict(
        block4='encoder.block4',
        decoder1='decoder2',
        decoder2='decoder4',
        reasoning='reasoning',
        attention='attention',
        features='global_pool',  # the last of its calls
    )
    logit, seen = outputs_of(theirs, images, hooked)
    for name in ('block4', 'decoder1', 'decoder2'):
        seen[name] = seen[name].mean(dim=(2, 3))
    for name, corr in zip('012', theirs.loss_inputs['contra']):
        seen[f'similarity {name}'] = corr
    seen['features'] = seen['features'].flatten(1)
    seen['reconstruction'] = theirs.loss_inputs['recons'][0]
    seen['logit'] = logit[:, 0]
    return seen


def quantities_of_ours(backbone, head, images) -> dict:
    hooked = dict(reasoning='reasoning', attention='attention')
    feats, seen = outputs_of(backbone, images, hooked)
    last, seen['reconstruction'], _, *embeddings = feats
    seen['features'] = last.mean(dim=(2, 3))
    for i, name in enumerate(('block4', 'decoder1', 'decoder2')):
        seen[name] = embeddings[i]
        unit = F.normalize(embeddings[i], dim=1)
        seen[f'similarity {i}'] = (1 + unit @ unit.T) / 2
    logits = head(feats)
    seen['logit'] = logits[:, 1] - logits[:, 0]
    return seen


def report(name: str, error: float, limit: float, least: float = 0) -> None:
    ok = least <= error <= limit
    print(f'{name:52} {error:9.2e} {"" if ok else "BROKEN"}')
    if not ok:
        BROKEN.append(name)


@torch.no_grad()
def compare_evaluation(theirs, backbone, head) -> None:
    for size in SIZES:
        torch.manual_seed(size)
        images = torch.rand(2, 3, size, size).double() * 2 - 1
        expected = quantities_of_theirs(theirs, images)
        for name, value in quantities_of_ours(backbone, head, images).items():
            limit = 1e-5 if name == 'logit' else 1e-10  # float32, float64
            error = relative_error(value, expected[name])
            report(f'{size}: {name} {tuple(value.shape)}', error, limit)
    for key in PERTURBED:
        weight = backbone.get_parameter(key)
        old = weight.clone()
        weight[0] += 0.1
        moved = quantities_of_ours(backbone, head, images)['features']
        weight.copy_(old)
        error = relative_error(moved, expected['features'])
        report(f'{size}: features, {key} changed', error, 1e9, least=1e-9)


def compare_losses(losses) -> None:
    for labels in ([0, 1, 0, 0, 1, 1], [0, 1, 1], [1, 1], [0, 0], [0]):
        torch.manual_seed(0)
        labels = torch.tensor(labels)
        m = len(labels)
        embedding, logit = torch.randn(m, 8) + 1, torch.randn(m)
        images, rebuilt = torch.rand(2, m, 3, 9, 9)
        logits = torch.stack([torch.zeros(m), logit], dim=1)
        unit = F.normalize(embedding, dim=1)
        similarity = (1 + unit @ unit.T) / 2
        head = RECCEHead(8, dropout_ratio=0)
        head.fc_cls = nn.Identity()
        feats = (logits[..., None, None], rebuilt, images, *[embedding] * 3)
        samples = [ActionDataSample().set_gt_label(int(k)) for k in labels]
        ours = head.loss(feats, samples)
        ce = F.binary_cross_entropy_with_logits(logit, labels.float())
        rec = losses.exp_recons_loss([rebuilt], (images, labels))
        metric = losses.MLLoss()([similarity] * 3, labels)
        expected = dict(
            loss_cls=(ce - 0.04).abs() + 0.04,
            loss_rec=0.1 * rec,
            loss_metric=0.1 * metric,
        )
        for name, value in expected.items():
            error = float((ours[name] - value).abs())
            report(f'labels {labels.tolist()}: {name}', error, 1e-6)
        moved = metric_loss(embedding * 1.1 + 0.1, labels)
        if len(labels) > 2:
            error = float((3 * moved - metric).abs())
            report('metric loss, embedding changed', error, 9, least=1e-4)


def compare_training_step(theirs, backbone, head, losses) -> None:
    """Two frames of each of three clips; no dropout, no noise."""
    theirs.train().add_white_noise = lambda images: images
    backbone.train().noise_std = 0
    for module in (*theirs.modules(), *backbone.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0
    torch.manual_seed(0)
    images = torch.rand(6, 3, 64, 64).double() * 2 - 1
    labels = torch.tensor([0, 0, 1, 1, 0, 0])
    logit = theirs(images)[:, 0]
    ce = F.binary_cross_entropy_with_logits(logit, labels.double())
    total = (ce - 0.04).abs() + 0.04
    rec, metric = theirs.loss_inputs['recons'], theirs.loss_inputs['contra']
    total += 0.1 * losses.exp_recons_loss(rec, (images, labels))
    total += 0.1 * losses.MLLoss()(metric, labels)
    total.backward()
    samples = [ActionDataSample().set_gt_label(k) for k in (0, 1, 0)]
    ours = sum(head.loss(backbone(images), samples, num_segs=2).values())
    ours.backward()
    error = relative_error(ours.detach(), total.detach())
    report('training: loss', error, 1e-5)
    gradients = {
        key: p.grad
        for key, p in theirs.named_parameters()
        if p.grad is not None
    }
    errors = {
        key: relative_error(backbone.get_parameter(key).grad, value)
        for key, value in translate(gradients).items()
    }
    assert set(errors) == {key for key, _ in backbone.named_parameters()}
    worst = max(errors, key=errors.get)
    report(f'training: gradient, worst {worst}', errors[worst], 1e-5)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('repo', type=Path)
    repo = parser.parse_args(argv).repo
    recce, losses, _library = import_theirs(repo)
    theirs, backbone, head = build(recce)
    compare_evaluation(theirs, backbone, head)
    compare_losses(losses)
    head.dropout.p = 0
    compare_training_step(theirs, backbone, head, losses)
    return 1 if BROKEN else 0


if __name__ == '__main__':
    sys.exit(main())
