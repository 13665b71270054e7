# GML trained on Celeb-DF v2: Table 2, "CDF", AUC 99.9. Prepared by
#   python tools/prepare_data.py cdf CELEBDF data/cdf
_base_ = 'gml_xception_ffpp.py'

data_root = 'data/cdf'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
