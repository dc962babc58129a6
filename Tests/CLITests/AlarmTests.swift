import Files
import TestSupport
import Testing

/// Alarms as a user meets them: a DPO run that learns its few pairs by heart.
@Suite struct AlarmTests {
    private func prepared() throws -> TinyRun {
        let run = try TinyRun()
        try run.folder.write(PreferenceTests.recipe, to: "recipe.yaml")
        try run.folder.write(PreferenceTests.pairs(16), to: "pairs.jsonl")
        return run
    }

    private static let settings = ["training.max_steps=24", "health.margin_limit=0.2"]

    /// The steps of a run that name an alarm.
    private func alarms(_ run: TinyRun, _ folder: String) throws -> [Int: [String]] {
        try run.folder.read("\(folder)/metrics.jsonl").split(separator: "\n").reduce(into: [:]) { found, line in
            let line = try JSON(parsing: String(line))
            guard let names = line["alarms"]?.array, let step = line["step"]?.integer else { return }
            found[step] = names.compactMap(\.string)
        }
    }

    @Test func aRunSaysAndStopsAndGoesOn() async throws {
        let run = try prepared()
        let whole = try await run.train(Self.settings + ["output.path=whole"], flags: ["--json"])
        #expect(whole.status == 0, "\(whole.errors)")
        let summary = try JSON(parsing: whole.output)
        #expect(summary["alarms"]?.array?.first?["name"]?.string == "margins" && summary["stopped_by"]?.string == nil)
        let step = try #require(summary["alarms"]?.array?.first?["step"]?.integer)
        #expect(try alarms(run, "whole") == [step: ["margins"]] && step < 20)
        let sentence = "alarm margins at step \(step): all pairs of 10 steps are the right way round"
        #expect(whole.errors.components(separatedBy: sentence).count == 2)
        #expect(whole.errors.contains("\nalarms of the run: margins at step \(step)\n"))

        let stopped = try await run.train(Self.settings + ["health.stop=true"], flags: ["--json"])
        #expect(stopped.status == 1, "\(stopped.errors)")
        #expect(stopped.lastError.hasPrefix("error: the alarm margins stopped the run after step \(step): all pairs"))
        let short = try JSON(parsing: stopped.output)
        #expect(short["stopped_by"]?.string == "margins" && short["steps"]?.integer == step)
        #expect(short["after"]?["loss"]?.number != nil && run.exists("run/adapter_model.safetensors"))
        #expect(run.names(in: "run/checkpoints").contains("step-\(step)"))

        // It is over until the user says otherwise.
        let again = try await run.train(Self.settings + ["health.stop=true"], flags: ["--resume"])
        #expect(again.status == 1 && again.lastError == stopped.lastError)
        let resumed = try await run.train(Self.settings, flags: ["--resume"])
        #expect(resumed.status == 0, "\(resumed.errors)")
        #expect(try run.metrics(of: "run") == run.metrics(of: "whole"))
        #expect(try run.bytes("run/adapter_model.safetensors") == run.bytes("whole/adapter_model.safetensors"))
    }

    @Test func anAlarmThatIsOffIsSilent() async throws {
        let run = try prepared()
        let quiet = try await run.train(["training.max_steps=24", "health.margin_limit=null", "health.stop=true"])
        #expect(quiet.status == 0 && !quiet.errors.contains("alarm"), "\(quiet.errors)")
        let wrong = try await run.train(["health.kl_limit=-1"], flags: ["--overwrite"])
        #expect(wrong.status == 2)
        #expect(
            wrong.lastError.contains("`health.kl_limit` must be `auto` or a number above 0, not"), "\(wrong.errors)")
    }
}
