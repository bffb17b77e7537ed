"""From the readings of power meters to joules with an uncertainty."""
