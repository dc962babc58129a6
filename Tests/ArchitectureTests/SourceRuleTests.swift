import Foundation
import TestSupport
import Testing

/// Rules that the compiler does not check, read from the sources.
@Suite struct SourceRuleTests {
    private func eachSource(_ body: (_ file: String, _ lines: [Substring]) throws -> Void) throws {
        for file in Locations.files(under: "Sources", ending: ".swift") {
            let text = try String(contentsOfFile: Locations.inRepository(file), encoding: .utf8)
            try body(file, text.split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    /// A line without its comment, well enough for these rules: `//` inside a string literal ends it early.
    private func code(_ line: Substring) -> Substring {
        line.range(of: "//").map { line[..<$0.lowerBound] } ?? line
    }

    @Test func onlyTheCommandLinePrints() throws {
        let printing = try Regex(#"(^|[^A-Za-z0-9_.])(print|debugPrint|dump|fputs|puts|printf)\("#)
        try eachSource { file, lines in
            guard !file.hasPrefix("Sources/CLI/") else { return }
            for line in lines where try printing.firstMatch(in: code(line)) != nil {
                Issue.record("\(file) prints: \(line)")
            }
        }
    }

    @Test func faultsAreThrown() throws {
        try eachSource { file, lines in
            for line in lines where code(line).contains("try!") || code(line).contains("fatalError(") {
                Issue.record("\(file) traps: \(line)")
            }
        }
    }

    @Test func filesStayReadable() throws {
        try eachSource { file, lines in #expect(lines.count <= 501, "\(file) has \(lines.count) lines") }
    }
}
