import Glibc

exit(runGraft())
