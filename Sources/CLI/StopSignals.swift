import Glibc
import Synchronization

private let pending = Atomic<Int32>(0)

/// Ctrl-C and termination requests: the first one asks the run to save and stop, a second one ends the program at once.
enum StopSignals {
    /// Takes the signals over.
    static func install() {
        // Whoever read the progress through a pipe may leave; the run goes on.
        signal(SIGPIPE, SIG_IGN)
        var taken = sigset_t()
        sigemptyset(&taken)
        for number in [SIGINT, SIGTERM] {
            sigaddset(&taken, number)
            signal(number) { received in
                let wasPending = pending.exchange(received, ordering: .relaxed) != 0
                if wasPending { _exit(128 + received) }
            }
        }
        // Whoever started the program may have had them blocked, and a program inherits that.
        pthread_sigmask(SIG_UNBLOCK, &taken, nil)
    }

    /// The signal that has come, if one has.
    static var received: Int32? {
        let number = pending.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }
}
