import Foundation
import TestSupport

/// A page of the manual: `README.md` and the other pages that people read.
struct Manual: Sendable, CustomStringConvertible {
    /// The path from the repository's root.
    let path: String
    let text: String

    static let pages = [
        "README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/performance.md", "docs/adapters.md",
    ]

    init(_ path: String) throws {
        self.path = path
        text = try String(contentsOfFile: Locations.inRepository(path), encoding: .utf8)
    }

    var description: String { path }

    /// A line of a shell block, with the lines that a backslash joins to it.
    struct Command {
        /// The words, quotes taken off.
        var words: [String]
        /// Whether the block is marked `tested`: the command is run on a tiny model.
        var isTested: Bool
    }

    /// The commands of all blocks that begin with ```` ```sh ````, in order.
    var commands: [Command] {
        var commands: [Command] = []
        var block: String?
        var joined = ""
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("```") {
                block = block == nil && line.hasPrefix("```sh") ? line : nil
                continue
            }
            guard let block else { continue }
            joined += line.hasSuffix("\\") ? String(line.dropLast()) : line
            guard !line.hasSuffix("\\") else { continue }
            let words = Self.words(joined)
            joined = ""
            if !words.isEmpty { commands.append(Command(words: words, isTested: block.hasSuffix(" tested"))) }
        }
        return commands
    }

    /// The text under the heading that begins so, up to the next heading of the same level or a higher one.
    func section(_ heading: String) -> String? {
        let level = heading.prefix { $0 == "#" }.count
        var lines: [Substring]?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if let found = lines {
                let marks = line.prefix { $0 == "#" }.count
                if marks > 0 && marks <= level { break }
                lines = found + [line]
            } else if line == heading {
                lines = []
            }
        }
        return lines?.joined(separator: "\n")
    }

    /// What stands in backquotes on one line, outside blocks.
    var quoted: [String] {
        var isBlock = false
        return text.split(separator: "\n").flatMap { line -> [String] in
            if line.hasPrefix("```") { isBlock.toggle() }
            return isBlock ? [] : line.matches(of: /`([^`]+)`/).map { String($0.output.1) }
        }
    }

    /// The words of a shell line: blanks separate, quotes join, `#` begins a comment.
    private static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word: String?
        var quote: Character?
        for character in line {
            if character == quote {
                quote = nil
            } else if quote == nil && (character == "\"" || character == "'") {
                quote = character
                word = word ?? ""
            } else if quote == nil && character == " " {
                words += word.map { [$0] } ?? []
                word = nil
            } else if quote == nil && character == "#" && word == nil {
                break
            } else {
                word = (word ?? "") + String(character)
            }
        }
        return words + (word.map { [$0] } ?? [])
    }
}
