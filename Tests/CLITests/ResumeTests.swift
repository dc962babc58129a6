import Foundation
import TestSupport
import Testing

/// A run that is stopped and goes on ends as the run that was never stopped, to the bit.
@Suite(.serialized) struct ResumeTests {
    /// Long enough to be stopped half way.
    private static let settings = ["training.max_steps=500", "output.save_steps=7", "training.eval_steps=200"]

    /// The folder with a run that nothing stopped, as `whole`.
    private func prepared() async throws -> TinyRun {
        let run = try TinyRun()
        let whole = try await run.train(Self.settings + ["output.path=whole"])
        #expect(whole.status == 0, "\(whole.errors)")
        return run
    }

    /// Starts training and sends a signal once `step` steps are done.
    ///
    /// - Returns: the exit code, or 128 plus the signal that ended the program.
    private func stopped(_ run: TinyRun, by signal: Int32, after step: Int, flags: [String]) async throws -> Int32 {
        let process = try Graft.start(
            TinyRun.training(Self.settings, flags), environment: run.environment, in: run.folder.path)
        return await Task.detached {
            while process.isRunning, ((try? run.metrics(of: "run")) ?? []).count < step { usleep(1000) }
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
            return process.terminationReason == .uncaughtSignal
                ? 128 + process.terminationStatus
                : process.terminationStatus
        }.value
    }

    private func expectSame(_ run: TinyRun) throws {
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(try run.folder.read("run/evaluation.json") == run.folder.read("whole/evaluation.json"))
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
    }

    @Test(arguments: [(SIGTERM, 143), (SIGINT, 130)] as [(Int32, Int32)])
    func aSignalSavesAndStops(signal: Int32, status: Int32) async throws {
        let run = try await prepared()
        #expect(try await stopped(run, by: signal, after: 11, flags: []) == status)
        let steps = try run.metrics(of: "run").count
        #expect(steps >= 11 && steps < 500 && run.names(in: "run/checkpoints").contains("step-\(steps)"))
        let resumed = try await run.train(Self.settings, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(resumed.errors.contains("going on after step \(steps)"))
        try expectSame(run)
    }

    @Test func noCrashLosesMoreThanTheStepsSinceACheckpoint() async throws {
        let run = try await prepared()
        for (number, step) in [3, 22, 23, 61].enumerated() {
            let status = try await stopped(run, by: SIGKILL, after: step, flags: number == 0 ? [] : ["--resume"])
            #expect(status == 137)
        }
        let resumed = try await run.train(Self.settings, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        try expectSame(run)
    }

    @Test func aFinishedRunHasNothingToGoOnWith() async throws {
        let run = try TinyRun()
        try await run.train()
        let before = try run.bytes("run/adapter_model.safetensors")
        #expect(try await run.train(flags: ["--resume"]).status == 0)
        #expect(try run.bytes("run/adapter_model.safetensors") == before && run.metrics(of: "run").count == 8)
    }

    @Test func whatDecidesTheNumbersMayNotChange() async throws {
        let run = try TinyRun()
        try await run.train()
        let other = Locations.fixture("models/tiny-yarn")
        let cases: [([String], String)] = [
            (["training.seed=8"], "`training.seed` changed: 7 then, 8 now"),
            (["optimizer.learning_rate=0.1"], "`optimizer.learning_rate` changed: 0.01 then, 0.1 now"),
            (["adapter.r=8"], "`adapter.r` changed: 4 then, 8 now"),
            (["objective.train_on=last_turn"], "`objective.train_on` changed: assistant then, last_turn now"),
            (["optimizer.schedule=cosine"], "`optimizer.schedule` changed: constant then, cosine now"),
            (["model.path=\(other)"], "the base model's weights changed"),
            (["training.max_steps=4"], "the run cannot be resumed with 4 steps: 8 are taken already"),
        ]
        for (settings, says) in cases {
            let result = try await run.train(settings, flags: ["--resume"])
            #expect(result.status == 2 && result.lastError.contains(says), "\(result.errors)")
            #expect(result.lastError.hasPrefix("error: run/checkpoints/step-8: the run cannot be resumed"))
        }
        try run.folder.write(TinyRun.rows(25), to: "rows.jsonl")
        let rows = try await run.train(flags: ["--resume"])
        #expect(rows.status == 2 && rows.lastError.contains("because the rows of rows.jsonl changed"))
    }

    @Test func aTemplateMayNotChange() async throws {
        let run = try TinyRun()
        try await run.train()
        try run.change("model/chat_template.jinja") { $0 + Array(" ".utf8) }
        let result = try await run.train(flags: ["--resume"])
        #expect(result.status == 2 && result.lastError.contains("the chat template changed"), "\(result.errors)")
    }

    @Test func whatDoesNotDecideThemMay() async throws {
        let run = try TinyRun()
        try await run.train(["training.max_steps=12", "output.path=whole"])
        try await run.train()
        let longer = [
            "training.max_steps=12", "training.threads=2", "output.save_steps=2", "output.keep_checkpoints=3",
        ]
        let result = try await run.train(longer, flags: ["--resume"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
        #expect(run.names(in: "run/checkpoints") == ["step-10", "step-12", "step-8"])
    }
}
