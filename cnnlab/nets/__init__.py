"""Networks: layers written out to be read, small models, and how they are trained."""
