"""The main job: from a folder of images to registered versions.

Nothing is imported here, since only a part of it needs Ray and MLflow.
"""
