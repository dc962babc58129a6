import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

@Suite("Runs that cannot go on") struct TrainingFaultTests {
    @Test("a loss that is not finite names step, micro-batch and rows", arguments: [Float.nan, .infinity])
    func loss(_ poison: Float) throws {
        var run = TinyRun()
        run.accumulation = 3
        // Only row 9 (the tenth) holds token 383: step 2 takes rows 6 to 11, its second micro-batch rows 8 and 9.
        run.rows[9].tokens[4] = 383
        #expect(run.rows.filter { $0.tokens.contains(383) }.map(\.row) == [9])
        // A head of its own: a tied one would meet the poisoned token in every softmax.
        let model = try run.adaptedModel("tiny-llama-untied")
        let embedding = try #require(model.parameters().first { $0.path == "model.embed_tokens.weight" }).parameter
        embedding.value = embedding.value.copied()
        embedding.value.withMutableFloats { $0[383 * 64] = poison }
        var steps: [StepMetrics] = []
        let error = #expect(throws: RunError.self) {
            try run.loop(model, AdamW(), hooks: TrainingHooks(didStep: { steps.append($0) })).run()
        }
        #expect(
            error?.description
                == "the loss is not finite at step 2, micro-batch 2 of 3 (dataset rows 9, 10)")
        #expect(steps.map(\.step) == [1])
    }

    @Test("a gradient norm that is not finite names step and rows")
    func gradient() throws {
        let run = TinyRun()
        let model = try run.adaptedModel()
        let b = try #require(model.trainableParameters().first { $0.path.hasSuffix("lora_B.weight") }).parameter
        b.value = Tensor(repeating: 3e38, shape: b.value.shape)
        let error = #expect(throws: RunError.self) { try run.loop(model, AdamW()).run() }
        #expect(error?.description.contains("is not finite at step 1") == true)
        #expect(error?.description.contains("dataset rows 1, 2)") == true)
    }

    @Test("a trainable parameter that no gradient reaches is an error at the first step")
    func unreached() throws {
        let run = TinyRun()
        let model = try run.adaptedModel()
        let error = #expect(throws: RunError.self) { try run.loop(model, AdamW(), adapters: []).run() }
        #expect(error?.description.hasPrefix("no gradient reaches 28 trainable parameters: model.layers.0.") == true)
    }

    @Test("a gradient that stays zero is an alarm, after two steps that could change it", arguments: [0, 1, 3])
    func zeroGradient(_ warmup: Int) throws {
        var run = TinyRun()
        run.options.schedule.warmupSteps = warmup
        for dead in [false, true] {
            let model = try TinyRun.model()
            try attach(LoRAConfiguration(), to: model, seed: 1)
            // B is zero at the start. With A zero too, neither ever gets a gradient.
            if dead, let first = model.trainableParameters().first {
                first.parameter.value = .zeros(first.parameter.value.shape)
            }
            var notes: [String] = []
            _ = try run.loop(model, AdamW(), hooks: TrainingHooks(note: { notes.append($0) })).run()
            #expect(notes.count == (dead ? 1 : 0), "\(notes)")
            let step = warmup == 0 ? 3 : 4
            let remark =
                "alarm gradient at step \(step): the gradient of 2 trainable parameters is still zero: model.layers.0.self_attn."
            if dead { #expect(notes.first?.hasPrefix(remark) == true, "\(notes)") }
        }
    }

    @Test("what a hook throws ends the run")
    func hooks() throws {
        struct Stop: Error {}
        let run = TinyRun()
        let model = try run.adaptedModel()
        var saved = 0
        let hooks = TrainingHooks(didStep: { _ in throw Stop() }, save: { _ in saved += 1 })
        #expect(throws: Stop.self) { try run.loop(model, AdamW(), hooks: hooks).run() }
        #expect(saved == 0)
    }
}
