import Foundation
import TestSupport
import Testing

/// Help is part of what people rely on: a change to it must be meant. `GRAFT_WRITE_HELP=1 swift test --filter HelpTests` writes the
/// files anew.
@Suite struct HelpTests {
    private static let commands = [
        "train", "inspect", "evaluate", "compare", "merge", "export", "adapters", "generate", "chat", "tokenize",
        "benchmark",
    ]

    @Test(arguments: ["graft"] + commands + ["adapters combine"])
    func isAsWritten(command: String) async throws {
        let words = command == "graft" ? [] : command.split(separator: " ").map(String.init)
        let run = try await Graft.run(words + ["--help"], environment: ["COLUMNS": "80"])
        let file = Locations.inRepository("Tests/CLITests/Help/\(command).txt")
        if ProcessInfo.processInfo.environment["GRAFT_WRITE_HELP"] != nil {
            try run.output.write(toFile: file, atomically: true, encoding: .utf8)
        }
        #expect(run.status == 0 && run.errors.isEmpty)
        #expect(try String(contentsOfFile: file, encoding: .utf8) == run.output)
    }

    @Test func everyCommandIsListed() async throws {
        let listed = try await Graft.run(["--help"]).output.split(separator: "SUBCOMMANDS:\n")[1]
        let names = listed.split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
            .compactMap { $0.split(separator: " ").first.map(String.init) }.filter { $0 != "See" }
        #expect(names == Self.commands)
    }
}
