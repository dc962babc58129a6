import Files
import Foundation

/// Scores of a program of the user's: it reads a JSON object a line, `{"prompt", "answer", "reference", "tokens"}`, and writes a number
/// a line, or an object with a number under `score`.
///
/// It runs once for all answers of a rollout, with files for its standard input and output, so that neither waits for the other.
public struct CommandReward: Reward {
    private let command: [String]
    private let timeout: Double

    /// Runs `command`, a program (a path, or a name to be found in PATH) and its arguments, for at most `timeout` seconds.
    public init(_ command: [String], timeout: Double) {
        precondition(!command.isEmpty && timeout > 0, "no command, or no time for it")
        self.command = command
        self.timeout = timeout
    }

    /// What the program says.
    ///
    /// - Throws: `RunError` where it cannot be started, fails, takes too long, or writes something other than a finite number a line.
    public func scores(of answers: [GeneratedAnswer]) throws -> [Double] {
        let input = answers.map { Self.line($0) }.joined()
        let output = try CommandRun(command, timeout: timeout)(input)
        let lines = output.split(separator: "\n", omittingEmptySubsequences: false).map { $0.filter { $0 != "\r" } }
        let given = lines.last?.isEmpty == true ? lines.dropLast() : lines[...]
        guard given.count == answers.count else {
            throw fault("wrote \(given.count) lines for \(answers.count) answers")
        }
        return try given.enumerated().map { number, line in
            guard let value = try? JSON(parsing: line), let score = value.number ?? value["score"]?.number,
                score.isFinite
            else { throw fault("wrote no finite number on line \(number + 1): \"\(line.prefix(80))\"") }
            return score
        }
    }

    private static func line(_ answer: GeneratedAnswer) -> String {
        let object: JSON = [
            "prompt": .string(answer.prompt), "answer": .string(answer.text),
            "reference": answer.reference.map { .string($0) } ?? .null, "tokens": .integer(answer.tokens.count),
        ]
        return object.text() + "\n"
    }

    private func fault(_ what: String) -> RunError {
        RunError("the reward command \(command.joined(separator: " ")) \(what)")
    }
}

/// One run of a program over files.
private struct CommandRun {
    let command: [String]
    let timeout: Double

    init(_ command: [String], timeout: Double) {
        self.command = command
        self.timeout = timeout
    }

    /// Its standard output for a standard input.
    func callAsFunction(_ input: String) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("graft-reward-\(UUID().uuidString)")
        try FileWriting.makeFolder(folder.path)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["input", "output", "errors"].map { folder.appendingPathComponent($0).path }
        try FileWriting.replace(files[0], with: input)
        try FileWriting.replace(files[1], with: "")
        try FileWriting.replace(files[2], with: "")
        try run(files)
        guard let data = FileManager.default.contents(atPath: files[1]),
            let text = String(validating: data, as: UTF8.self)
        else { throw fault("wrote something that is not UTF-8", files[2]) }
        return text
    }

    private func run(_ files: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = FileHandle(forReadingAtPath: files[0])
        process.standardOutput = FileHandle(forWritingAtPath: files[1])
        process.standardError = FileHandle(forWritingAtPath: files[2])
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        do { try process.run() } catch { throw fault("cannot be started: \(error.localizedDescription)", files[2]) }
        guard ended.wait(timeout: .now() + timeout) == .success else {
            kill(process.processIdentifier, SIGKILL)
            _ = ended.wait(timeout: .now() + 5)
            throw fault("did not end within \(timeout) seconds", files[2])
        }
        guard process.terminationReason == .exit else {
            throw fault("died of signal \(process.terminationStatus)", files[2])
        }
        guard process.terminationStatus == 0 else {
            throw fault("ended with the exit code \(process.terminationStatus)", files[2])
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
