import Adapters
import Datasets
import Files
import Layers
import Models
import Tensors
import TestSupport
import Testing
import Trainers

/// The reward that a policy is trained with, from a model that was trained on preferences.
@Suite("Rewards from a model") struct ModelRewardTests {
    /// A policy's base with a place for a reward adapter, and such an adapter, frozen.
    private func loaded() throws -> LoadedModel {
        let loaded = try ModelRegistry.load(Locations.fixture("models/tiny-llama"))
        loaded.model.addScoreHead()
        let folder = try AdapterFolder(Locations.fixture("rewards/tiny-llama-lora"))
        try attach(folder, to: loaded.model, name: "reward", isTrainable: false)
        return loaded
    }

    private func model() throws -> CausalLM { try loaded().model }

    private func answer(_ prompt: [Int32], _ tokens: [Int32]) -> GeneratedAnswer {
        GeneratedAnswer(promptTokens: prompt, tokens: tokens, prompt: "", text: "")
    }

    private func alone(_ model: CausalLM, _ tokens: [Int32]) -> Double {
        let context = ForwardContext(SequenceLayout([.init(count: tokens.count)]), adapters: ["reward"])
        return Double(model.rewards(tokens, rows: [Int32(tokens.count - 1)], context).scalar)
    }

    @Test("is that of prompt and answer, whatever is scored beside it")
    func scores() throws {
        let model = try model()
        let answers = [
            answer([5, 6, 7], [8, 9]), answer([5, 6, 7], [10]), answer([5, 6, 7], [8, 9]), answer([11], [12, 13, 14]),
            answer([5, 6, 7], [10]), answer([15, 16], []),
        ]
        let scores = try ModelReward(model: model, adapters: ["reward"]).scores(of: answers)
        #expect(scores.count == answers.count && scores[0] == scores[2] && scores[1] == scores[4])
        #expect(try ModelReward(model: model, adapters: ["reward"], tokensPerPass: 1).scores(of: answers) == scores)
        for (answer, score) in zip(answers, scores) {
            #expect(isClose(score, alone(model, answer.promptTokens + answer.tokens), relative: 1e-5, absolute: 1e-5))
        }
    }

    @Test("is read behind what a template writes after a turn, where the answer ends one in a conversation")
    func turnEnd() throws {
        let model = try model()
        let reward = ModelReward(model: model, adapters: ["reward"], turnEnd: TurnEnd(token: 2, rest: [201]))
        let ended = answer([1, 50, 2, 60], [70, 2])
        let (cut, plain) = (answer([1, 50, 2, 60], [70]), answer([50, 60], [70, 2]))
        let scores = try reward.scores(of: [ended, cut, plain])
        let expected = [[1, 50, 2, 60, 70, 2, 201], [1, 50, 2, 60, 70], [50, 60, 70, 2]].map { alone(model, $0) }
        #expect(isClose(scores, expected, relative: 1e-5, absolute: 1e-5))
    }

    @Test("of an answer that is too long is an error")
    func tooLong() throws {
        let reward = ModelReward(model: try model(), adapters: ["reward"])
        let long = answer([1], [Int32](repeating: 5, count: 128))
        #expect(throws: InputError.self) { try reward.scores(of: [long]) }
        #expect(throws: InputError.self) { try reward.scores(of: [answer([], [])]) }
    }

    @Test("comes from an adapter that stands still while a policy on the same base is trained")
    func besideAPolicy() throws {
        let loaded = try loaded()
        let model = loaded.model
        let frozen = model.modules().compactMap { $0.module as? any Adapter }.flatMap {
            $0.savedTensors.map(\.value.values)
        }
        var lora = LoRAConfiguration()
        lora.initialization = .random
        try attach(lora, to: model, name: "policy", seed: 1)
        #expect(model.trainableParameters().allSatisfy { $0.path.contains(".policy.") })
        let reward = ModelReward(model: model, adapters: ["reward"])
        let before = try reward.scores(of: [answer([5, 6], [7])])
        let run = TinyRun()
        _ = try run.loop(model, AdamW(), adapters: ["policy"]).run()
        #expect(try reward.scores(of: [answer([5, 6], [7])]) == before)
        let after = model.modules().compactMap { entry -> (any Adapter)? in
            entry.path.hasSuffix(".reward") ? entry.module as? any Adapter : nil
        }.flatMap { $0.savedTensors.map(\.value.values) }
        #expect(after == frozen)
        let saved = try adapterTensors(named: "policy", of: model).map(\.name)
        #expect(!saved.isEmpty && !saved.contains { $0.contains("score") })
        try mergeAdapters(named: ["policy"], in: model)
        let folder = try TemporaryFolder()
        try writeHuggingFaceFolder(
            loaded, tokenizer: loaded.checkpoint.tokenizer(), to: folder.file("policy"), dtype: .f32)
        #expect(try !openCheckpoint(folder.file("policy")).tensorNames.contains("score.weight"))
    }
}
