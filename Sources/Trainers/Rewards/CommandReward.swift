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
        // Of a line end of CR and LF Swift makes one character, which is not "\n".
        let lines = output.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(Substring($0)).trimmingCharacters(in: .whitespaces.union(.newlines))
        }
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
