# Table 2, "Matt", by the recipe of the authors' public code, not the paper's:
# trained on clean and degraded images, textures of stage 1, another regional
# independence loss. No row of the table is known to come from it.
_base_ = 'mat_efficientnet-b4_ffpp.py'
model = dict(
    type='PairedMATRecognizer',
    backbone=dict(taps=(1, 5)),
    cls_head=dict(
        in_channels=(24, 160, 1792),
        texture=dict(type='GroupedTextureEnhancement'),
        loss_ril=dict(type='RealCentreLoss'),
    ),
)
