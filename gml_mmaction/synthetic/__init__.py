"""Made-up data: the demo's videos and miniatures of data sets' trees."""
