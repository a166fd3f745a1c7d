"""`fab doctor`: what each machine is, what will not work there, and the fix. Changes nothing."""
