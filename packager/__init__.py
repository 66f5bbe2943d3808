"""The build side: a release file and images in; a signed package, files to publish and a report out."""
