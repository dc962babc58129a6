import Files
import Recipes
import Testing
import Trainers

@Suite struct TrainingPlanTests {
    private func read(_ overrides: String...) throws -> Recipe {
        try RecipeReader.read(text: shortest, file: "r.yaml", overrides: overrides)
    }

    @Test(arguments: [
        ("constant", Schedule.Shape.constant), ("linear", .linear), ("cosine", .cosine(minimum: 0)),
        ("inverse_sqrt", .inverseSquareRoot),
        ("warmup_stable_decay", .warmupStableDecay(decaySteps: 11, minimum: 0)),
    ])
    func schedulesAreThoseOfTheTrainer(name: String, shape: Schedule.Shape) throws {
        let recipe = try read("optimizer.schedule=\(name)", "optimizer.warmup_steps=0.05")
        #expect(try recipe.optimizer.schedule(ofRunWith: 101) == Schedule(shape, warmupSteps: 6, totalSteps: 101))
    }

    @Test func theRateEndsWhereItIsAsked() throws {
        let recipe = try read("optimizer.schedule=cosine", "optimizer.min_lr_rate=0.25")
        #expect(try recipe.trainingOptions(totalSteps: 10).schedule.factor(10) == 0.25)
    }

    @Test func whatIsOffIsNil() throws {
        let off = try read("optimizer.max_grad_norm=0", "output.save_steps=0").trainingOptions(totalSteps: 10)
        #expect(off.maxGradientNorm == nil && off.saveSteps == nil && off.evaluationSteps == nil)
        let on = try read("training.recompute=layer", "training.seed=7", "optimizer.learning_rate=0.5").trainingOptions(
            totalSteps: 10)
        #expect(
            on.maxGradientNorm == 1 && on.saveSteps == 100 && on.recompute == .layer && on.seed == 7
                && on.learningRate == 0.5)
    }

    @Test(arguments: ["9", "9223372036854775807"])
    func phasesMustFit(warmup: String) throws {
        let recipe = try read(
            "optimizer.schedule=warmup_stable_decay", "optimizer.warmup_steps=\(warmup)", "optimizer.decay_steps=2")
        #expect(throws: InputError.self) { try recipe.optimizer.schedule(ofRunWith: 10) }
    }
}
