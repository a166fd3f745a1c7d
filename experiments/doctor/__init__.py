"""`fab doctor`: what each machine is, what of it will not work, and the remedy. Changes nothing."""
