"""Calorimeter showers: what the field looks at, in numbers of one shower and of many."""
