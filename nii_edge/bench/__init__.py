"""`nii-edge bench`: what the daemon costs beside the bare runtime and a plain echo, measured side by side."""
