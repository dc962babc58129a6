import Glibc

// A file that reaches the size the shell allows is a write that fails, with its reason, not the end of the program.
signal(SIGXFSZ, SIG_IGN)
exit(runGraft())
