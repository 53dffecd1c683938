"""What everything stands on, and no science: errors, files, shapes, devices and noise, the own text."""
