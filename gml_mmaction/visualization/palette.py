"""The colours of all pictures, plots and pages.

Okabe and Ito's, which colour-blind people distinguish
(https://jfly.uni-koeln.de/color), without the yellow, pale on white.
"""

BLUE = '#0072B2'
VERMILION = '#D55E00'
GREEN = '#009E73'
PURPLE = '#CC79A7'
ORANGE = '#E69F00'
SKY = '#56B4E9'
BLACK = '#000000'
GREY = '#666666'

# One after the other, of systems or methods.
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
# Of the labels 0 and 1.
REAL, FAKE = BLUE, VERMILION
