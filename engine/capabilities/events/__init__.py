"""Events between runs and with the outside: the rules that wait for them, what became of them, the thread they make."""
