import Files
import Foundation

/// One run of a program over files.
///
/// It is over when the program itself is: what it leaves running is not waited for, nor ended. Where it takes too long, it is ended with
/// all that it started.
struct CommandRun {
    private let command: [String]
    private let timeout: Double

    init(_ command: [String], timeout: Double) {
        self.command = command
        self.timeout = min(timeout, 1e9)
    }

    /// Its standard output for a standard input.
    func callAsFunction(_ input: String) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("graft-reward-\(UUID().uuidString)")
        try FileWriting.makeFolder(folder.path)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["input", "output", "errors"].map { folder.appendingPathComponent($0).path }
        try FileWriting.replace(files[0], with: input)
        try run(files)
        guard let data = FileManager.default.contents(atPath: files[1]),
            let text = String(validating: data, as: UTF8.self)
        else { throw fault("wrote something that is not UTF-8", files[2]) }
        return text
    }

    private func run(_ files: [String]) throws {
        let process = try start(files)
        guard let status = end(of: process) else {
            kill(-process, SIGKILL)
            waitpid(process, nil, 0)
            throw fault("did not end within \(timeout) seconds", files[2])
        }
        let (signal, code) = (status & 0x7F, status >> 8 & 0xFF)
        guard signal == 0 else { throw fault("died of signal \(signal)", files[2]) }
        guard code == 0 else { throw fault("ended with the exit code \(code)", files[2]) }
    }

    /// Starts it, the leader of a group of its own, with the files as its standard streams.
    private func start(_ files: [String]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, files[0], O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, files[1], O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, files[2], O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this program does about signals is no matter of the other's.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))

        let environment = ProcessInfo.processInfo.environment.map { strdup("\($0)=\($1)") } + [nil]
        let arguments = command.map { strdup($0) } + [nil]
        defer { (environment + arguments).forEach { free($0) } }
        var process = pid_t()
        let code = posix_spawnp(&process, command[0], &actions, &attributes, arguments, environment)
        guard code == 0 else { throw fault("cannot be started: \(String(cString: strerror(code)))", files[2]) }
        return process
    }

    /// The status that it ended with; nil where it has not in time.
    private func end(of process: pid_t) -> Int32? {
        let deadline = ContinuousClock.now + .seconds(timeout)
        var pause: UInt32 = 500
        while true {
            var status: Int32 = 0
            let ended = waitpid(process, &status, WNOHANG)
            // Where the shell that started this program ignores the end of children, there is no status: what was written is judged.
            if ended == process || (ended < 0 && errno != EINTR) { return status }
            if ContinuousClock.now >= deadline { return nil }
            usleep(pause)
            pause = min(20_000, pause * 2)
        }
    }

    /// With the last of what it said on standard error.
    private func fault(_ what: String, _ errors: String) -> RunError {
        let said =
            FileManager.default.contents(atPath: errors).map { String(decoding: $0.suffix(400), as: UTF8.self) } ?? ""
        let last = said.split(separator: "\n").last.map { ": \($0)" } ?? ""
        return RunError("the reward command \(command.joined(separator: " ")) \(what)\(last)")
    }
}
