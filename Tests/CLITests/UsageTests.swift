import TestSupport
import Testing

@Suite struct UsageTests {
    @Test(
        arguments: [
            (["--version"], 0), (["--help"], 0), ([], 0), (["help"], 0), (["tokenize", "--help"], 0), (["nonsense"], 2),
            (["--nonsense"], 2),
            (["tokenize"], 2), (["tokenize", "--file", "x"], 2),
            (["tokenize", "--file", "x", "--model", "m", "--tokenizer", "t"], 2),
            (["tokenize", "--file", "no-such-file", "--tokenizer", "no-such-file"], 2),
        ] as [([String], Int32)])
    func exitCodes(arguments: [String], status: Int32) async throws {
        let run = try await Graft.run(arguments)
        #expect(run.status == status)
        // Results and help go to standard output, faults to standard error.
        #expect(run.output.isEmpty == (status != 0))
        #expect(run.errors.isEmpty == (status == 0))
    }

    @Test func theVersionIsOneLine() async throws {
        #expect(try await Graft.run(["--version"]).output == "0.1.0\n")
    }

    @Test func aWrongFlagIsNamed() async throws {
        let run = try await Graft.run(["tokenize", "--model", "m", "--file", "x", "--modle", "y"])
        #expect(run.errors.hasPrefix("Error: Unknown option '--modle'. Did you mean '--model'?\n"))
    }

    @Test func aMissingFileIsNamed() async throws {
        let run = try await Graft.run(["tokenize", "--tokenizer", "missing/tokenizer.json", "--file", "x"])
        #expect(run.errors == "error: missing/tokenizer.json: cannot open the file: No such file or directory\n")
    }
}
