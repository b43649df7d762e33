"""Exact occlusion with less work: only the region of a map that a window reaches is computed again.

`region_tensor` stands for the maps of all windows; `patch_maps` holds their regions; `window_rules`,
`convolution_rules` and `pointwise_rules` say what each layer makes of them; `cost` counts the work.
"""
