import Files
import TestSupport
import Testing

/// Adapters by name in `graft chat` and `graft generate`.
@Suite struct ChatTests {
    private static let model = [
        "--model", TinyRun.model, "--adapter", "low=" + Locations.fixture("adapters/tiny-llama/all-linear"),
        "--adapter",
        Locations.fixture("adapters/tiny-llama/ia3"), "--max-tokens", "6",
    ]

    @Test func aChatSwitchesAdaptersAndSurvivesATypo() async throws {
        let lines = ["/adapter", "/adapter lwo", "/adapter low", "Hello", "/help", "/adapter none", "Hello", ""]
        let run = try await Graft.run(["chat"] + Self.model, input: lines.joined(separator: "\n") + "\n")
        #expect(run.status == 0, "\(run.errors)")
        for text in [
            "loaded: low, ia3; active: low+ia3", "there is no adapter \"lwo\"", "Did you mean low?",
            "loaded: low, ia3; active: low\n", "begin the conversation anew", "active: none",
        ] {
            #expect(run.errors.contains(text), "\(text): \(run.errors)")
        }
        // The answers are the model's alone: what commands say goes to standard error.
        #expect(!run.output.contains("loaded"))
    }

    @Test func promptsAreAnsweredUnderEachStack() async throws {
        let uses = ["low", "low+ia3", "none"]
        let arguments = ["generate", "--prompt", "Hello", "--json"] + Self.model
        let run = try await Graft.run(arguments + uses.flatMap { ["--use", $0] })
        #expect(run.status == 0, "\(run.errors)")
        let answers = try run.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
        let names = answers.map { ($0["adapters"]?.array ?? []).compactMap(\.string) }
        #expect(names == [["low"], ["low", "ia3"], []])
        let all = try await Graft.run(arguments)
        #expect(try JSON(parsing: all.output)["answer"] == answers[1]["answer"])
        let wrong = try await Graft.run(arguments + ["--use", "low", "--use", "ia4"])
        #expect(wrong.status == 2 && wrong.output.isEmpty && wrong.lastError.contains("Did you mean ia3?"))
    }
}
