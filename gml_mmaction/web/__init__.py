"""A web page on your own machine: drop a video, see what a detector says.

``gml_mmaction.web.server.serve(ForgeryInferencer('best.pth'))`` is all there
is to it. The page is NiceGUI's (the extra ``web``), which brings its scripts
and fonts along, so that the page works without the internet. Nothing is sent
anywhere. Not imported with the package.
"""
