import Foundation

/// One finished run of the `graft` binary.
public struct GraftRun: Sendable {
    /// The exit code, or 128 plus the signal that ended it.
    public var status: Int32
    /// What it wrote to standard output.
    public var output: String
    /// What it wrote to standard error.
    public var errors: String
}

/// A run of `graft` that did not end in time, or a binary that is not there.
public struct GraftFault: Error, CustomStringConvertible {
    /// What happened.
    public var description: String
}

/// Runs the binary that was built with the tests.
public enum Graft {
    /// The binary's path: SwiftPM puts it beside the test bundle.
    public static let binary: String = {
        let bundle =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(filePath: bundle).deletingLastPathComponent().appending(path: "graft").path(percentEncoded: false)
    }()

    /// Runs `graft` to its end.
    ///
    /// - Parameters:
    ///   - arguments: what follows the program's name.
    ///   - environment: variables added to those of the tests.
    ///   - folder: the working directory; the repository's root if nil.
    ///   - input: what the program reads from standard input.
    ///   - limits: shell commands that run first, in the same process: `ulimit -f 8`.
    ///   - timeout: seconds after which it is killed and the call throws.
    /// - Returns: the exit code and both streams.
    /// - Throws: ``GraftFault`` where there is no binary, or it did not end in time.
    public static func run(
        _ arguments: [String], environment: [String: String] = [:], in folder: String? = nil, input: String = "",
        limits: String? = nil, timeout: Double = 120
    ) async throws -> GraftRun {
        try await Task.detached {
            let process = try process(arguments, environment, folder, limits)
            return try runToEnd(process, input: input, timeout: timeout)
        }.value
    }

    /// Starts `graft` and returns at once, for tests that stop it half way. Its streams go to `/dev/null`.
    public static func start(_ arguments: [String], environment: [String: String] = [:], in folder: String? = nil)
        throws -> Process
    {
        let process = try process(arguments, environment, folder, nil)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    private static func process(
        _ arguments: [String], _ environment: [String: String], _ folder: String?, _ limits: String?
    ) throws -> Process {
        guard FileManager.default.isExecutableFile(atPath: binary) else {
            throw GraftFault(description: "no binary at \(binary)")
        }
        let process = Process()
        process.executableURL = URL(filePath: limits == nil ? binary : "/bin/sh")
        process.arguments = limits.map { ["-c", "\($0); exec \"$0\" \"$@\"", binary] + arguments } ?? arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.currentDirectoryURL = URL(filePath: folder ?? Locations.repository)
        return process
    }

    /// The streams go through files: a pipe that nobody empties would stop the program.
    private static func runToEnd(_ process: Process, input: String, timeout: Double) throws -> GraftRun {
        let streams = try TemporaryFolder()
        process.standardInput = try FileHandle(forReadingFrom: URL(filePath: streams.write(input, to: "input")))
        process.standardOutput = try FileHandle(forWritingTo: URL(filePath: streams.write("", to: "output")))
        process.standardError = try FileHandle(forWritingTo: URL(filePath: streams.write("", to: "errors")))
        try process.run()
        let deadline = Date(timeIntervalSinceNow: timeout)
        while process.isRunning {
            guard Date.now < deadline else {
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                let said = (try? streams.read("errors")) ?? ""
                throw GraftFault(
                    description: "graft \(process.arguments ?? []) did not end within \(timeout) s; it said: \(said)")
            }
            usleep(2000)
        }
        process.waitUntilExit()
        let signalled = process.terminationReason == .uncaughtSignal
        return GraftRun(
            status: signalled ? 128 + process.terminationStatus : process.terminationStatus,
            output: try streams.read("output"), errors: try streams.read("errors"))
    }
}
