# GML trained on DeeperForensics-1.0 (std, its official split): Table 1,
# "DFO", ACC 99.9. Prepared by
#   python tools/prepare_data.py dfo DEEPERFORENSICS data/dfo_official \
#       --ffpp FACEFORENSICS --protocol official
# and tested on std here; on std/sing, distorted as in Table 1, by
#   python tools/prepare_data.py dfo DEEPERFORENSICS data/dfo_sing \
#       --ffpp FACEFORENSICS --protocol official --variant sing
# and tools/test.py with --target dfo_sing.
_base_ = 'gml_xception_ffpp.py'

data_root = 'data/dfo_official'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
