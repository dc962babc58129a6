import Files
import TestSupport
import Testing
import Trainers

@Suite("The metrics log") struct MetricsLogTests {
    @Test("lines after the checkpoint go, and one that a crash cut short")
    func resume() throws {
        let folder = try TemporaryFolder()
        for tail in ["", "{\"step\": 4, \"loss\": 0.25}\n", "{\"step\": 4, \"loss\": 0.25}\n{\"step\": 5, \"lo"] {
            let path = try folder.write(
                "{\"step\": 1, \"loss\": 1.5}\n{\"step\": 2, \"loss\": 1.25}\n{\"step\": 3, \"loss\": 1e-07}\n" + tail,
                to: "metrics.jsonl")
            let log = try MetricsLog(path, keepingThrough: 3)
            try log.append(["step": 4, "loss": 0.125])
            try log.sync()
            #expect(
                try folder.read("metrics.jsonl")
                    == "{\"step\": 1, \"loss\": 1.5}\n{\"step\": 2, \"loss\": 1.25}\n{\"step\": 3, \"loss\": 1e-07}\n"
                    + "{\"step\": 4, \"loss\": 0.125}\n")
        }
    }

    @Test("a run from the start begins an empty log")
    func start() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("whatever\n", to: "metrics.jsonl")
        try MetricsLog(path, keepingThrough: 0).append(["step": 1])
        #expect(try folder.read("metrics.jsonl") == "{\"step\": 1}\n")
        _ = try MetricsLog(folder.file("new.jsonl"), keepingThrough: 8)
        #expect(try folder.read("new.jsonl") == "")
    }

    @Test(
        "a line before the checkpoint that is no line of metrics is an error that names it",
        arguments: [
            "{\"step\": 1}\n{\"step\": ", "{\"step\": 1}\n[]\n{\"step\": 3}\n", "{\"step\": 1}\n{\"step\": 1}\n",
        ])
    func broken(_ text: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(text, to: "metrics.jsonl")
        let error = #expect(throws: InputError.self) { try MetricsLog(path, keepingThrough: 3) }
        #expect(error?.file == path && error?.place == "line 2")
        #expect(try folder.read("metrics.jsonl") == text)
    }
}
