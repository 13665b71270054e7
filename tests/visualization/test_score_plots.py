"""What the figures hold, against scikit-learn, and that nothing is cut."""

import cv2
import numpy as np
import pytest
from matplotlib.container import BarContainer
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_curve

from gml_mmaction.evaluation.bootstrap import GRID, Resampling, assess
from gml_mmaction.evaluation.level_scores import Scores
from gml_mmaction.visualization.palette import COLOURS
from gml_mmaction.visualization.score_plots import (
    draw_histograms,
    draw_methods,
    draw_precision_recall,
    draw_roc,
    save_figures,
)

METHODS = (
    'Deepfakes',
    'FSGAN-face-swapping-and-reenactment_c40',
    'StarGANv2-with-latent-guided-synthesis_c23',
    'end_to_end_mix_4_distortions_level_5',
)


def system(name, seed=0, reals=60, fakes=120, methods=METHODS, **fields):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [reals, fakes])
    names = [methods[i % len(methods)] for i in range(fakes)]
    scores = Scores(
        name=name,
        level='video',
        labels=labels,
        scores=norm.cdf(rng.normal(labels)).round(2),
        videos=np.arange(len(labels)).astype(str),
        methods=np.array(['real'] * reals + names),
        **fields,
    )
    return assess(scores, Resampling(100))


def lines_of(figure):
    (axis,) = figure.axes
    return {line.get_color(): line for line in axis.lines}


def legend_of(figure):
    (legend,) = figure.legends
    return [
        text.get_text().replace('\N{NO-BREAK SPACE}', ' ')
        for text in legend.get_texts()
    ]


def test_the_roc_is_scikit_learns_with_auc_and_interval_in_the_legend():
    assessment = system('net')
    figure = draw_roc([assessment])
    scores = assessment.scores
    alarms, hits, _ = roc_curve(scores.labels, scores.scores)
    line = lines_of(figure)[COLOURS[0]]
    assert line.get_xydata() == pytest.approx(np.c_[alarms, hits])
    estimate = assessment.overall.estimates['auc']
    text = 'AUC {:.3f} [{:.3f}, {:.3f}]'.format(*estimate)
    assert legend_of(figure) == [f'net: {text}', 'chance']


def test_the_area_below_the_steps_of_precision_is_ap():
    assessment = system('net')
    figure = draw_precision_recall([assessment])
    line = lines_of(figure)[COLOURS[0]]
    assert line.get_drawstyle() == 'steps-post'
    recall, precision = line.get_xydata().T
    # after a point the line goes on at its height
    area = np.sum((recall[:-1] - recall[1:]) * precision[:-1])
    scores = assessment.scores
    assert area == pytest.approx(
        average_precision_score(scores.labels, scores.scores)
    )


def test_the_dotted_line_of_precision_is_the_share_of_fakes():
    figure = draw_precision_recall([system('net', reals=60, fakes=90)])
    (axis,) = figure.axes
    assert list(axis.lines[-1].get_ydata()) == [0.6, 0.6]
    assert legend_of(figure)[-1] == 'share of fakes 0.600'


@pytest.mark.parametrize(
    ('draw', 'band'),
    [(draw_roc, 'hits'), (draw_precision_recall, 'precision')],
)
def test_the_band_is_the_pointwise_interval(draw, band):
    assessment = system('net')
    (axis,) = draw([assessment]).axes
    (drawn,) = axis.collections
    low, high = getattr(assessment.overall, band)
    corners = {tuple(p) for p in drawn.get_paths()[0].vertices.round(9)}
    expected = np.r_[np.c_[GRID, low], np.c_[GRID, high]].round(9)
    assert {tuple(point) for point in expected} <= corners


def test_bands_that_would_hide_each_other_are_left_out():
    figure = draw_roc([system(f'net {i}', i) for i in range(4)])
    (axis,) = figure.axes
    assert len(axis.collections) == 0
    (legend,) = figure.legends
    assert 'shaded' not in legend.get_title().get_text()


def test_a_file_of_one_class_leaves_the_others_their_colours():
    files = [system('one', fakes=0), system('two', 1)]
    assert legend_of(draw_roc(files))[0].startswith('two: ')
    assert COLOURS[1] in lines_of(draw_roc(files))
    assert COLOURS[0] not in lines_of(draw_roc(files))


def test_more_files_than_colours_differ_by_their_dashes():
    (axis,) = draw_roc([system(f'net {i}', i) for i in range(9)]).axes
    styles = [(x.get_color(), x.get_linestyle()) for x in axis.lines]
    assert len(set(styles)) == len(styles) == 10


def test_a_bar_goes_from_chance_to_the_methods_auc():
    assessment = system('net')
    (axis,) = draw_methods([assessment]).axes
    (bars,) = (c for c in axis.containers if isinstance(c, BarContainer))
    results = [assessment.overall, *assessment.methods.values()]
    expected = [result.estimates['auc'] for result in results]
    assert [bar.get_x() for bar in bars] == pytest.approx([0.5] * 5)
    assert [bar.get_x() + bar.get_width() for bar in bars] == pytest.approx(
        [estimate.value for estimate in expected]
    )
    whiskers = bars.errorbar.lines[2][0].get_segments()
    assert np.array(whiskers)[:, :, 0] == pytest.approx(
        np.array([estimate[1:] for estimate in expected])
    )
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == ['all fakes', *sorted(METHODS)]


def test_untrained_networks_are_framed_from_the_lowest_to_the_highest():
    null = {'': [0.45, 0.6, 0.5], METHODS[1]: [0.48, 0.52]}
    assessments = [system('net', untrained=null), system('other', seed=1)]
    figure = draw_methods(assessments)
    *_, frames = figure.axes[0].containers
    spans = {
        (round(bar.get_x(), 6), round(bar.get_x() + bar.get_width(), 6))
        for bar in frames
    }
    assert spans == {(0.45, 0.6), (0.48, 0.52)}
    assert legend_of(figure)[-1].startswith('untrained networks')
    legend = legend_of(draw_roc(assessments))
    assert 'untrained 0.450 to 0.600' in legend[0]
    assert 'untrained' not in legend[1]


def test_the_bars_of_a_histogram_are_shares_of_a_class():
    assessment = system('net', reals=30, fakes=150, threshold=0.4)
    axis = draw_histograms([assessment]).axes[0]
    for label, patch in enumerate(axis.patches[:2]):
        own = assessment.scores.labels == label
        counts, edges = np.histogram(
            assessment.scores.scores[own], np.linspace(0, 1, 26)
        )
        for left, right, share in zip(edges, edges[1:], counts / own.sum()):
            centre = (left + right) / 2
            path = patch.get_path()
            assert not path.contains_point((centre, share + 1e-4))
            assert share == 0 or path.contains_point((centre, share - 1e-4))
    (line,) = axis.lines
    assert list(line.get_xdata()) == [0.4, 0.4]
    assert '30 real + 150 fake videos' in axis.get_title()


def test_a_histogram_needs_one_class_only(tmp_path):
    figure = draw_histograms([system('net', fakes=0)])
    (path,) = save_figures(dict(histogram=figure), tmp_path)
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    blue = (image[..., 2] - image[..., 0] > 40).sum()
    orange = (image[..., 0] - image[..., 2] > 40).sum()
    assert blue > 1000
    assert orange < blue / 20  # of the legend


LONG = 'xception-mcb-ad-wo-l1, trained for long on FaceForensics++ c23 {}'


@pytest.mark.slow
@pytest.mark.parametrize('count', [1, 6])
@pytest.mark.parametrize(
    'draw',
    [
        draw_roc,
        lambda files: draw_roc(files, log_false_alarms=True),
        draw_precision_recall,
        draw_methods,
        draw_histograms,
    ],
)
def test_nothing_is_cut_of_long_names(tmp_path, draw, count):
    files = [system(LONG.format(i), i, threshold=0.37) for i in range(count)]
    (path,) = save_figures(dict(figure=draw(files)), tmp_path)
    image = cv2.imread(str(path))
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert border.min() == 255
    assert (image < 255).any(axis=-1).mean() > 0.02


def test_the_logarithmic_axis_begins_below_one_false_alarm():
    (axis,) = draw_roc([system('net')], log_false_alarms=True).axes
    assert axis.get_xscale() == 'log'
    assert 1 / 100 < axis.get_xlim()[0] * 2 < 1 / 50


def test_the_text_of_a_pdf_is_no_type_3_font(tmp_path):
    figures = dict(roc=draw_roc([system('net')]))
    png, pdf = save_figures(figures, tmp_path / 'new', ['png', 'pdf'])
    assert (png.name, pdf.name) == ('roc.png', 'roc.pdf')
    content = pdf.read_bytes()
    assert content.startswith(b'%PDF')
    assert b'/CIDFontType2' in content
    assert b'/Type3' not in content
