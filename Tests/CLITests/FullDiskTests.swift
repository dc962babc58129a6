import TestSupport
import Testing

/// A disk that is full while something is saved: the limit on a file's size stands for it. What was saved before must stay whole.
@Suite struct FullDiskTests {
    /// In units of 512 bytes: no file of the run may be larger than this.
    @Test(arguments: [8, 64])
    func aRunEndsWithTheFileThatCouldNotBeWritten(limit: Int) async throws {
        let run = try TinyRun()
        let result = try await run.train(limits: "ulimit -f \(limit)")
        #expect(result.status == 1, "\(result.errors)")
        #expect(result.lastError.hasPrefix("error: cannot write run/checkpoints/"), "\(result.errors)")
        #expect(result.lastError.hasSuffix(": File too large"))
        #expect(run.names(in: "run/checkpoints").isEmpty)
    }

    @Test func whatWasSavedBeforeGoesOn() async throws {
        let run = try TinyRun()
        try await run.train(["output.path=whole", "training.max_steps=12"])
        try await run.train(["training.max_steps=6"])
        let full = try await run.train(["training.max_steps=12"], flags: ["--resume"], limits: "ulimit -f 16")
        #expect(full.status == 1 && full.lastError.hasSuffix(": File too large"))
        #expect(run.names(in: "run/checkpoints") == ["step-3", "step-6"])
        let resumed = try await run.train(["training.max_steps=12"], flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(
            try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
    }

    @Test func aMergeLeavesNothingBehind() async throws {
        let run = try TinyRun()
        try await run.train(["training.max_steps=2"])
        let arguments = ["merge", "--model", "model", "--adapter", "run", "--output", "merged"]
        let full = try await run.graft(arguments, limits: "ulimit -f 100")
        #expect(full.status == 1)
        #expect(full.lastError.hasPrefix("error: cannot write merged") && full.lastError.hasSuffix(": File too large"))
        #expect(run.names(in: ".").filter { $0.hasPrefix("merged") }.isEmpty)
        #expect(try await run.graft(arguments).status == 0)
    }

    @Test func anExportLeavesNothingBehind() async throws {
        let run = try TinyRun()
        for target in ["gguf", "safetensors"] {
            let arguments = ["export", "--model", "model", "--to", target, "--output", "out"]
            let full = try await run.graft(arguments, limits: "ulimit -f 100")
            #expect(full.status == 1)
            #expect(full.lastError.hasPrefix("error: cannot write out") && full.lastError.hasSuffix(": File too large"))
            #expect(run.names(in: ".").filter { $0.hasPrefix("out") }.isEmpty)
        }
    }
}
