"""Facts about importing the package."""


def test_importing_registers_everything_in_mmaction2_registries(run_python):
    done = run_python(
        '-c',
        'import gml_mmaction, mmaction.registry as r\n'
        'names = dict(MODELS="Xception CSTM STMBlock MCB GMLHead",\n'
        '    DATASETS="FaceClipDataset", \n'
        '    TRANSFORMS="ClipAugment ClipDecode DistortClip "\n'
        '    "RandomDistortClip FaceCrop",\n'
        '    DATA_SAMPLERS="BalancedSampler", METRICS="ForgeryMetric",\n'
        '    HOOKS="RunSummaryHook")\n'
        'for registry, classes in names.items():\n'
        '    for name in classes.split():\n'
        '        cls = getattr(r, registry).get(name)\n'
        '        assert cls.__module__.startswith("gml_mmaction."), cls\n',
    )
    assert done.returncode == 0, done.stderr


def test_importing_needs_neither_dlib_nor_matplotlib_nor_decord(run_python):
    done = run_python(
        '-c',
        'import sys, gml_mmaction\n'
        'print({"dlib", "matplotlib", "decord", "av", "distributed"}'
        ' & set(sys.modules))\n',
    )
    assert done.stdout.strip() == 'set()', done.stdout + done.stderr
